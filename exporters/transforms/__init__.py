"""Passes that make a model smaller than losslessly: each says what it changed, and the loss is measured.

calibrate   what goes into every product, from a text
scale       move the size of a channel from one weight into another, so that INT8 needs fewer bits for the same error
prune       zero the weights that matter least
quantize    symmetric INT8
"""
