"""Is near in code near in plan? The study that asks the product."""
