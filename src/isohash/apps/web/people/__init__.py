"""Who may use the workbench from elsewhere: users, sessions, rights, and a log of what they did."""
