"""Who hears of a change, and when: observers, live queries, dependencies, the broadcast."""
