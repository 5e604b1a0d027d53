"""The numbers to beat: systems that need no pretraining; like every system here they have `predict(texts)`."""


class Majority:
    """Always answers with the commonest training label."""

    def __init__(self, labels):
        self.label = max(sorted(set(labels)), key=list(labels).count)

    def predict(self, texts):
        """One label per text."""
        return [self.label] * len(texts)


class Tfidf:
    """Weighted word counts and a logistic regression: no pretraining, seconds to fit, hard to beat.

    Words and word pairs, as in scikit-learn's text tutorial; C=10 suits a few thousand short texts.
    """

    def __init__(self, texts, labels):
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline

        words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
        self.pipeline = make_pipeline(words, LogisticRegression(C=10, max_iter=1000)).fit(list(texts), list(labels))

    def predict(self, texts):
        """One label per text."""
        return list(self.pipeline.predict(list(texts)))
