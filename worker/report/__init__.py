"""A result as one web page, with its audio: page.py makes the text, speech.py what is heard."""
