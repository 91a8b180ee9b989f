"""That no configuration of the smtpd.conf suite is left out: each is served by one of the test_configs and test_suite_* modules."""

import importlib
import os
import unittest

import suite

FOLDER = os.path.dirname(os.path.abspath(__file__))


class Suite(unittest.TestCase):
    @unittest.skipUnless(os.path.isdir(suite.SUITE), f"no conformance suites at {suite.SUITE} (POSTERN_CONFORMANCE_DIR)")
    def test_every_configuration_is_served(self):
        served = set()
        for name in os.listdir(FOLDER):
            if name == "test_configs.py" or name.startswith("test_suite_"):
                module = importlib.import_module(name[:-3])
                served |= {each.config for each in vars(module).values()
                           if isinstance(each, type) and issubclass(each, suite.InWorld)}
        self.assertEqual(served - {""}, {name for name in os.listdir(suite.SUITE) if name.endswith(".conf")})


if __name__ == "__main__":
    unittest.main()
