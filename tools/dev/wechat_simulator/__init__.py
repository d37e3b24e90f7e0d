"""WeChat Pay and the mini program's log-in, simulated: a real server with keys, certificates and
state of its own.

It shares no code with `server`, so that each proves the other. It checks every request as WeChat
does, sends signed notices with WeChat's retries, and fails in any way that is asked for: see
`switches.py`. `python -m tools.dev.wechat_simulator --help`.
"""
