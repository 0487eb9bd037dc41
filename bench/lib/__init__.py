"""What the benchmark scripts share: the nets, the parties as processes, peers, the machine, the report."""
