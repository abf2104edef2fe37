# The page in a real browser; run by tests/run with pytest.
EXTRA_DIST += tests/browser/.npmrc tests/browser/package.json tests/browser/package-lock.json tests/browser/page.mjs \
	tests/browser/test_page.py tests/scenario/fake_mesh.py tests/scenario/test_metrics_ui.py
