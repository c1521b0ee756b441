"""What AstrID makes: one room per stage of the chain from raw exposures to the catalog."""
