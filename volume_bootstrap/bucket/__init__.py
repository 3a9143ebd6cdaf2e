"""A bucket on any endpoint that speaks S3, and uploads that are gone on with after a kill."""
