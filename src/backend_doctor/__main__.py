"""``python -m backend_doctor``."""

from backend_doctor.cli import run

if __name__ == "__main__":
    run()
