"""A small server of OpenAI's protocol around a model of transformers; runs in a process of its own.

It is started by `crossgrade.serving.local` and never imported there: it needs torch. Nothing that
lies in a model's folder is executed. Must not know who sends requests, nor what is measured.
"""
