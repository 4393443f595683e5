"""Programs for developers: chaos, fuzzing, load, and a local Apache Kafka."""
