# _cuda is a module of its own: the CUDA runtime is linked statically, so that it imports on a machine
# without a driver and says so when asked.
