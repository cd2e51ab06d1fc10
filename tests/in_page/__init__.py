"""Tests that run inside the page only; tests/browser/test_suites.py starts them there."""
