"""bench/handlers: see there. A part is a module part_NAME, as for bench/run."""
import main

PARTS = ["urls", "users", "stored", "compute", "mixed", "command"]

if __name__ == "__main__":
    main.main("bench/handlers", PARTS)
