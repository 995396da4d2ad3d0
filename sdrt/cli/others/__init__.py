"""Command lines of other programs, taken as they are typed: each becomes a call of sdrt's own."""
