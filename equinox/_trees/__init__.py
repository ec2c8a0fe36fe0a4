"""Operations on any pytree. Nothing here transforms a function."""
