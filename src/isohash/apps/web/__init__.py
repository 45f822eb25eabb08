"""The workbench: an archive in the browser (needs the extra `serve`)."""
