namespace Calico.Datastore.Kubernetes.Client;

/// <summary>Reads lines of bounded length from a stream.</summary>
internal sealed class LineReader(Stream stream, int maxLine) : IDisposable
{
    private byte[] _buffer = new byte[16 << 10];
    private int _start;
    private int _scanned;
    private int _end;

    /// <summary>The next line without its end, valid until the next call; null at the end of the stream.</summary>
    /// <exception cref="IOException">A line is longer than allowed.</exception>
    public async Task<ReadOnlyMemory<byte>?> ReadAsync(CancellationToken cancellation)
    {
        while (true)
        {
            var at = _buffer.AsSpan(_scanned, _end - _scanned).IndexOf((byte)'\n');
            if (at >= 0)
            {
                var line = _buffer.AsMemory(_start, _scanned + at - _start);
                _start = _scanned = _scanned + at + 1;
                if (line.IsEmpty)
                    continue;
                return line;
            }
            _scanned = _end;
            MakeRoom();
            var read = await stream.ReadAsync(_buffer.AsMemory(_end), cancellation);
            // What is left then is a line that was cut off: the watch resumes before it.
            if (read == 0)
                return null;
            _end += read;
        }
    }

    private void MakeRoom()
    {
        if (_end < _buffer.Length)
            return;
        if (_start > 0)
        {
            _buffer.AsSpan(_start, _end - _start).CopyTo(_buffer);
            (_scanned, _end) = (_scanned - _start, _end - _start);
            _start = 0;
            if (_end < _buffer.Length)
                return;
        }
        if (_buffer.Length >= maxLine)
            throw new IOException($"an event has more than {maxLine} bytes");
        Array.Resize(ref _buffer, Math.Min(maxLine, _buffer.Length * 2));
    }

    public void Dispose() => stream.Dispose();
}
