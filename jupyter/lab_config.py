"""JupyterLab's settings for the course: on this machine only, with its token, and without questions on start."""

from pathlib import Path

root = Path(__file__).resolve().parent.parent
c = get_config()  # noqa: F821 (Jupyter defines it)
c.ServerApp.root_dir = str(root)
c.LabApp.default_url = "/lab/tree/notebooks/00_start_here.ipynb"
c.ServerApp.ip = "127.0.0.1"
c.LabApp.check_for_updates_class = "jupyterlab.NeverCheckForUpdate"
c.LabApp.news_url = None
c.LabApp.app_settings_dir = str(root / "jupyter")  # holds overrides.json
