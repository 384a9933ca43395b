"""Archives: zip and tar, read member by member in their order, never unpacked to names of theirs."""
