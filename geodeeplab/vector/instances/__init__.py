"""Instances: objects of a class that touch, told apart by a watershed on the probability of their boundaries."""
