"""Texts of models: think tags, steps, messages and dialogues, and the texts that trainers take."""
