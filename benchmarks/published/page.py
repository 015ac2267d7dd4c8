from pathlib import Path
def write_page(a,b): return []
