"""What NeMo Gym starts as a resources server: it becomes a server of llmgym, at the host and port that NeMo Gym chose.

Its configuration has `command`, which starts llmgym in an environment of its own, the `arguments` of
`llmgym serve env`, and the `folder` to start it in.
"""

from __future__ import annotations

import os

from nemo_gym.global_config import get_first_server_config_dict, get_global_config_dict

config = get_first_server_config_dict(get_global_config_dict(), os.environ["NEMO_GYM_CONFIG_PATH"])
front = ["--front", "nemo_gym", "--no-token", "--host", config.host, "--port", str(config.port)]
command = [*config.command, "serve", "env", *config.arguments, *front]
os.chdir(config.folder)
os.execvp(command[0], command)
