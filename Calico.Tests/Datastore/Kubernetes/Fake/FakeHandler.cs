using System.Net.Http.Headers;
using System.Text;
using System.Threading.Channels;

namespace Calico.Tests.Datastore.Kubernetes.Fake;

/// <summary>The fake API server as the end of a client's chain of handlers.</summary>
internal sealed class FakeHandler(FakeApi api) : HttpMessageHandler
{
    protected override async Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancellationToken)
    {
        cancellationToken.ThrowIfCancellationRequested();
        var body = request.Content is null ? null : await request.Content.ReadAsByteArrayAsync(cancellationToken);
        // As over a network, an answer is never there at once.
        await Task.Yield();
        var answer = api.Handle(request.Method, request.RequestUri!, body);
        HttpContent content = answer.Events is { } events
            ? new StreamContent(new EventStream(events))
            : new ByteArrayContent(Encoding.UTF8.GetBytes(answer.Body));
        content.Headers.ContentType = new MediaTypeHeaderValue("application/json");
        return new HttpResponseMessage(answer.Status) { Content = content, RequestMessage = request, Headers = { Date = api.Time.GetUtcNow() } };
    }

    /// <summary>Events as lines of JSON, for as long as the watch lives.</summary>
    internal sealed class EventStream(ChannelReader<FakeEvent> events) : Stream
    {
        private ReadOnlyMemory<byte> _line;

        public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
        {
            if (_line.IsEmpty)
            {
                if (!await events.WaitToReadAsync(cancellationToken) || !events.TryRead(out var change))
                    return 0;
                _line = Encoding.UTF8.GetBytes($$"""{"type":"{{change.Type}}","object":{{change.Json}}}""" + "\n");
            }
            var length = Math.Min(buffer.Length, _line.Length);
            _line[..length].CopyTo(buffer);
            _line = _line[length..];
            return length;
        }

        public override bool CanRead => true;
        public override bool CanSeek => false;
        public override bool CanWrite => false;
        public override long Length => throw new NotSupportedException();
        public override long Position { get => throw new NotSupportedException(); set => throw new NotSupportedException(); }
        public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException();
        public override void Flush()
        {
        }

        public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();
        public override void SetLength(long value) => throw new NotSupportedException();
        public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();
    }
}
