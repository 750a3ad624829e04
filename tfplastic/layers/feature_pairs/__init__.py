"""Layers that give each unit two features."""
