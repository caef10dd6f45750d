namespace Calico.Actors.Routing;

/// <summary>
/// Secrets as Kubernetes mounts them: <c>DIRECTORY/NAME/KEY</c> is the value. Read again each time, because a mounted
/// Secret changes under a running process. Values are never logged.
/// </summary>
public sealed class SecretFiles(string? directory)
{
    private const int MaxLength = 4096;

    /// <summary>The value without a line end behind it; null if there is no such file or it cannot be read.</summary>
    public string? Read(string name, string key)
    {
        if (directory is null || !IsPlain(name) || !IsPlain(key))
            return null;
        try
        {
            var file = new FileInfo(Path.Combine(directory, name, key));
            return file.Exists && (file.ResolveLinkTarget(returnFinalTarget: true) as FileInfo ?? file).Length <= MaxLength
                ? File.ReadAllText(file.FullName).TrimEnd('\r', '\n')
                : null;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }

    // Names come from resources; none of them leads out of the directory.
    private static bool IsPlain(string name) => name.Length > 0 && name is not ("." or "..") && name.AsSpan().IndexOfAny('/', '\\', '\0') < 0;
}
