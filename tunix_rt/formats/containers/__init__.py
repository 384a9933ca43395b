"""What rows come in and go out in: files, archives, JSON, CSV, Arrow, folders, objects in memory."""
