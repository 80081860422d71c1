"""Glosten–Milgrom (1985): sequential trade, quotes that learn, and what the uninformed pay for it.

Reference: Glosten & Milgrom (1985), Journal of Financial Economics 14, 71–100.
"""
