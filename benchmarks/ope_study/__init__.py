"""Fresh logs of users whose truth is known, and how often intervals, warnings and tests are right about them."""
