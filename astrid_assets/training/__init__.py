"""Injected truth, training sets, fitting, evaluation and export of the classifier.

Only `network.py` imports TensorFlow and Keras, inside its functions.
"""
