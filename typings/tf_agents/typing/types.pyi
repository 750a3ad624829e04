# TF-Agents' aliases are unions with forward references, of which a checker allows no operation.
from typing import Any

def __getattr__(name: str) -> Any: ...
