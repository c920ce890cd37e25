"""The service that is usually written first: FastAPI, and a new `python3 -c` for every request. Argument: PORT."""

import subprocess
import sys

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel


class Execute(BaseModel):
    code: str


app = FastAPI()


@app.post("/execute")
def execute(request: Execute):
    # Not `async`: FastAPI runs it on a thread, so that requests run side by side.
    run = subprocess.run(["/usr/bin/python3", "-c", request.code], capture_output=True, text=True, timeout=30)
    return {"stdout": run.stdout, "stderr": run.stderr, "exit_code": run.returncode}


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning", access_log=False)
