"""Fixtures of the tests on hosts; those lie in molecule/*/tests, tests/every and tests/mail."""

pytest_plugins = ["ansible_collections.postamt.mail.tests.lib.fixtures"]
