namespace Calico.Tests;

/// <summary>Where the repository and the published programs are, seen from the test assembly.</summary>
internal static class Artifacts
{
    public static string Repository { get; } = FindRepository();

    private static string FindRepository()
    {
        for (var directory = new DirectoryInfo(AppContext.BaseDirectory); directory is not null; directory = directory.Parent)
        {
            if (File.Exists(Path.Combine(directory.FullName, "Calico.sln")))
                return directory.FullName;
        }
        throw new InvalidOperationException($"no Calico.sln above {AppContext.BaseDirectory}");
    }
}
