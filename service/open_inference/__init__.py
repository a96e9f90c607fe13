"""The Open Inference Protocol (KServe v2, REST): another way to write the questions that the operations answer."""
