"""Fresh logs of stores whose truth is known, what is fitted to them, and how far it agrees with the truth."""
