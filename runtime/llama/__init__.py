"""The only package that touches llama.cpp: a thin, typed boundary around the ctypes binding.

Nothing outside it sees a pointer. Importing it loads no library; :func:`runtime.llama.library.load_library` does.
"""
