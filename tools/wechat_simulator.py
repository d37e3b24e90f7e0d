"""The former name of `python -m tools.dev.wechat_simulator`, for scripts that still have it."""

from tools.dev.wechat_simulator.__main__ import app

if __name__ == "__main__":
    app(prog_name="python -m tools.dev.wechat_simulator")
