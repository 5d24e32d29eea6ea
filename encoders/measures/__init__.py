"""How good a relevance model is: discrimination, calibration, ranking and fairness, with intervals over queries."""
