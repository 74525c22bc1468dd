"""What tests and demos share: programs and parts that judge, replay and stand in. Nothing here is shipped."""
