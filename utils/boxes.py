"""A column of widgets that can be read where no kernel runs: in an exported page, on GitHub, in print."""

import html

import ipywidgets as w


class Column(w.VBox):
    """Widgets one below the other; where they cannot be moved, their settings, texts and figures are shown as they stand."""

    def _repr_mimebundle_(self, **kwargs):
        return {**super()._repr_mimebundle_(**kwargs), "text/html": still(self)}  # Jupyter prefers the live widget


def still(widget):
    """What a widget shows, as HTML that does not move."""
    if isinstance(widget, w.Box):
        return "".join(still(child) for child in widget.children)
    if isinstance(widget, w.HTML):
        return f"<div>{widget.value}</div>"
    if isinstance(widget, w.Button):
        return ""  # nothing to press
    if isinstance(widget, w.RadioButtons):
        return f"<ul>{''.join(f'<li>{html.escape(label)}</li>' for label in widget._options_labels)}</ul>"
    return f"<div>{html.escape(': '.join(filter(None, (widget.description, setting(widget)))))}</div>"


def setting(widget):
    """The value of a slider, choice, tick or field in words."""
    if isinstance(widget, w.FloatSlider):
        return format(widget.value, widget.readout_format)
    if isinstance(widget, w.SelectMultiple):
        return ", ".join(widget.label)
    if isinstance(widget, w.Checkbox):
        return "yes" if widget.value else "no"
    return str(getattr(widget, "label", widget.value))
