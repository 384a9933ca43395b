"""What every format shares: rows, drafts and rejections, typed fields, values for meta."""
