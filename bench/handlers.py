"""bench/handlers: see there. A part is a module part_NAME, as for bench/run."""
import main

PARTS = ["urls", "compute", "mixed"]

if __name__ == "__main__":
    main.main("bench/handlers", PARTS)
