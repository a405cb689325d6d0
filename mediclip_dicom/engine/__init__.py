"""The durable steps of one study, from quiet to delivered."""
