"""The demo: a generated film and simulated BOLD with planted components, and how well these are found again."""





