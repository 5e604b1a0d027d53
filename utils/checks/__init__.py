"""Checks of the labs, one module each: they take what the learner made and say in words what is wrong."""
