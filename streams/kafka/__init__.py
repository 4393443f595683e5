"""Everything that knows Kafka and not Faust."""
