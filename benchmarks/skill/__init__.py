"""How good the agents are: cells of (task, agent, seed), each trained, judged and kept by itself."""
