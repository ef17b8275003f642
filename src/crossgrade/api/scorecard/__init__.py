"""`python -m crossgrade.api.scorecard`: predicted steps and services beside public measurements."""
