"""What the traces of a group share: the policy that made them, and the prompt; as SQL over the table `traces`."""

# Older versions stored in meta.group a digest of the prompt where the source had named no group: 16 digits.
NAMED_GROUP = "nullif(regexp_replace(meta ->> '$.group', '^[0-9a-f]{16}$', ''), '')"
# A policy is a model at one point of its training.
POLICY_FIELDS = {
    "source": "source",
    "model": "meta ->> '$.model'",
    "training_step": "coalesce(meta ->> '$.training_step', meta ->> '$.policy_version')",
}
POLICY = ", ".join(POLICY_FIELDS.values())
# A verdict, and a reward as a number, of the data itself.
CORRECT = "if(json_type(meta, '$.correct') = 'BOOLEAN', (meta ->> '$.correct')::boolean, null)"
REWARD = """
if(
    json_type(meta, '$.reward') in ('UBIGINT', 'BIGINT', 'DOUBLE', 'HUGEINT', 'UHUGEINT'),
    try_cast(meta ->> '$.reward' as double),
    null
)
"""
